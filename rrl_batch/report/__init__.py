"""The comparison of a catalogue with labels: figures of merit, figures, and a page."""
