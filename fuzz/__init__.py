"""
Coverage-guided fuzzing: C{python -m fuzz TARGET INPUTS}, with the extra C{fuzz} installed.

Three targets: C{stream}, the bytes that a server is sent; C{grammar}, every parser of lines;
C{names}, what becomes of names and tokens in a store. Each ends with a line of figures.
"""
