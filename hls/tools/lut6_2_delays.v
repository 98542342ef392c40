// Delays of a LUT with two outputs, which the cell library lacks: those that it gives for LUT6. In the one place that
// uses it (alq_add3) O5 is the majority of I0 to I2.
module LUT6_2 (
    output O6,
    output O5,
    input  I0,
    input  I1,
    input  I2,
    input  I3,
    input  I4,
    input  I5
);
  parameter [63:0] INIT = 0;
  specify
    (I0 => O6) = 642;
    (I1 => O6) = 631;
    (I2 => O6) = 472;
    (I3 => O6) = 407;
    (I4 => O6) = 238;
    (I5 => O6) = 127;
    (I0 => O5) = 642;
    (I1 => O5) = 631;
    (I2 => O5) = 472;
  endspecify
endmodule
