"""The steps from records to a verified HLS project, and the command line that runs them."""

try:
    from qmodel import neighbours
except ImportError as error:
    import qmodel

    raise ImportError(
        f"`import qmodel` gives {qmodel.__file__ or list(qmodel.__path__)}, not ecg-alq's package: "
        "use an environment of its own for ecg-alq"
    ) from error

neighbours.check_packages()
