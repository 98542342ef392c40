"""ECG data: MIT-BIH records, the 17-class fragments, splits, annotation targets and synthetic ECG."""
