"""The steps from records to a verified HLS project, and the command line that runs them."""
