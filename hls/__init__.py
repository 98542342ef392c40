"""From the frozen network to hardware: conversion, kernels, folding, estimates, RTL and synthesis."""
