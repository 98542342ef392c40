"""ALQ: bases as arrays, quantizer and layers of QKeras, the five moves, the trainer."""

from qmodel.neighbours import check_qkeras

check_qkeras()
