"""Any ECG recording through a frozen network: classes, files, pictures, whole archives, what abstaining gains."""
