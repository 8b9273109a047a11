"""The tests of xfer: trial test cases, run by trial and by pytest alike."""
