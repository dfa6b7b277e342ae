"""`tritrace data ...`: rows built, imported, synthesized, curated, checked and handed on."""
