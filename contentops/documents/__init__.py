"""Texts and their files: cleaned titles and bodies, front matter edited in place, outputs read and written safely."""
