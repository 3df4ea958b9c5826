"""From a DispatchBatch to outcomes in the ledger."""
