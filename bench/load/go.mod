module mkube.io/bench/load

go 1.19
