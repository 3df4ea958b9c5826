"""What every Heliograph service is made of; import the modules, this package re-exports nothing."""
