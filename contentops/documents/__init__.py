"""Texts and their files: cleaned titles and bodies, front matter edited in place, outputs seen and written safely."""
