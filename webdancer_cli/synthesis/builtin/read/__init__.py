"""What pages say, read by rule: facts, statements, lists, dates, measures, claims."""
