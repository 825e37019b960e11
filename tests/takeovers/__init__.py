"""Three hosts, two masters, one database: masters fail at random; what follows is measured."""
