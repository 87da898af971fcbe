"""Who does what to whom, sentence by sentence, from the mentions in a page. Start at ``find.find_relations``."""
