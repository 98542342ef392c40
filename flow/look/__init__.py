"""How results look: pictures, pages, words."""
