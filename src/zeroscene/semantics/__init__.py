"""What classes mean: class tables, the attribute knowledge base, text descriptors."""
