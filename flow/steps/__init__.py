"""The steps from records to report, and the stages of training that `ecg-alq evaluate` shares with them."""
