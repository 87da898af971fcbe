"""The catalogue: which bytes arrived, what was made of them, what is published, who may write. The one commit point."""
