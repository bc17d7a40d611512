"""The HTTP edge: it parses, calls one use case, and encodes. No decision of substance is taken here."""
