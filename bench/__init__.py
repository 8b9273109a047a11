"""
The performance bench: xfer beside its peers and beside what the hash and the disk allow.

C{make bench}, or C{python -m bench --help}. Nothing of xfer imports this package.
"""
