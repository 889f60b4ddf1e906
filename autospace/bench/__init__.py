"""The bench: how fast, how right and how well this installation searches, as numbers for CI."""
