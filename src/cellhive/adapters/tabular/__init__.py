"""Tables of KPIs: text, spreadsheets, Parquet, and what their columns mean."""
