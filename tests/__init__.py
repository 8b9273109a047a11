"""The tests of xfer: trial test cases, run by trial and by pytest alike."""

from twisted.trial import util

# In seconds. A test that hangs is to fail, and one on a busy machine is not.
util.DEFAULT_TIMEOUT_DURATION = 600.0
