"""The store on a local disk: files, a catalogue, and their repair."""
