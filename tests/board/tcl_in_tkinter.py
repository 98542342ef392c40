"""`tclsh` out of the Tcl that Python's tkinter contains: runs the script that the first argument names."""

import sys
import tkinter

tcl = tkinter.Tcl()
tcl.createcommand("exit", lambda code="0": (sys.stdout.flush(), sys.exit(int(code))))
try:
    tcl.eval(f"source {{{sys.argv[1]}}}")
except tkinter.TclError:
    sys.exit(tcl.eval("set ::errorInfo"))
