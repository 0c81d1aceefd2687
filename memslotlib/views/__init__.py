"""What a reader sees: charts, tables of 72 columns, swim lanes. Nothing below imports it."""
