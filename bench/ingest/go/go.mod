module millrace/bench/ingest

go 1.19
