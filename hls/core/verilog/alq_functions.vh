// Smallest w with 2**w >= value, at least 1: the width of a counter that counts to value - 1.
function integer width_of;
  input integer value;
  integer reach;
  begin
    width_of = 1;
    for (reach = 2; reach < value; reach = reach * 2) width_of = width_of + 1;
  end
endfunction
