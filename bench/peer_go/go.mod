module bench/peer_go

go 1.19
