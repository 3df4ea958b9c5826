"""The messaging service: templates, channels, direct sends, and the pipeline that delivers and keeps the ledger."""
