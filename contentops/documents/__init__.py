"""Pure text work: cleaned titles and bodies, their identity, and front matter read and edited in place."""
