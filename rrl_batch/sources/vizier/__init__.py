"""Metallicities from published tables, as VizieR has them."""
