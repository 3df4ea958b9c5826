"""Running import jobs: files to pieces, pieces to rows, rows to the record."""
