"""Between a frozen network and C++: the hls4ml extension, our kernels, conversion, reports of the vendor tools."""
