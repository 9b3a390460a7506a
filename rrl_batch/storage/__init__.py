"""Files that are whole or absent: atomic commits, receipts, manifests and the HATS layout."""
