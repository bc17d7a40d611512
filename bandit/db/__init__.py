"""The only SQL. One module per aggregate; plain functions over a connection, values in and out."""
