"""What a domain may ask of the outside: small Protocols, and the frozen records that cross them."""
