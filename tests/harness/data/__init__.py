"""Data of the tests: the AMI corpus, regression cases, glossary sentences, hostile input."""
