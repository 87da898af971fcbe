"""What a document is about (threats, sectors, own labels), and which ATT&CK technique a sentence states."""
