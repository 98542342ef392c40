// One of WORDS words, as a tree of two-way choices (two levels fit one six-input LUT).
`default_nettype none
module alq_word_select #(
    parameter integer WORDS = 4,
    parameter integer WIDTH = 8,
    parameter integer INDEX = 2  // smallest number of bits that counts WORDS, at least 1
) (
    input wire [WORDS*WIDTH-1:0] words,
    input wire [INDEX-1:0] index,
    output wire [WIDTH-1:0] word
);
  genvar level, place;
  generate
    if (INDEX < 1 || (1 << INDEX) < WORDS) begin : refused
      alq_word_select_INDEX_must_count_WORDS error ();
    end
    for (level = 0; level <= INDEX; level = level + 1) begin : stage
      localparam COUNT = (WORDS + (1 << level) - 1) >> level;
      wire [COUNT*WIDTH-1:0] left;
      if (level == 0) begin : all
        assign left = words;
      end else begin : half
        localparam BEFORE = (WORDS + (1 << (level - 1)) - 1) >> (level - 1);
        for (place = 0; place < COUNT; place = place + 1) begin : choice
          if (2 * place + 1 < BEFORE) begin : two
            assign left[place*WIDTH+:WIDTH] = index[level-1] ? stage[level-1].left[(2*place+1)*WIDTH+:WIDTH]
                                                             : stage[level-1].left[2*place*WIDTH+:WIDTH];
          end else begin : one
            assign left[place*WIDTH+:WIDTH] = stage[level-1].left[2*place*WIDTH+:WIDTH];
          end
        end
      end
    end
  endgenerate
  wire unused = &{1'b0, index};  // of a single word
  assign word = stage[INDEX].left[WIDTH-1:0];
endmodule
`default_nettype wire
