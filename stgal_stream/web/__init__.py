"""The live site in a browser: a process of its own that only reads the log.

In: the log's topics. Out: pages, and the API that they use.

``follower`` reads records, ``rows`` turns them into tables (``tables.sql``, ``read_model``),
``vectors`` keeps what sightings look like (``quantised``: in 8 bits, too), ``scan`` goes through
them; ``questions``, ``learned`` and ``search`` ask, ``answers`` are the API's models, ``api``
serves them, ``live`` tells what is new, ``access`` says who may look.

Law: everything here follows from the log and can be deleted. Nothing is written to the log.
"""
