rondo_test(comm_test LINKS comm device core RANKS 1 2 3 4 FILES comm_auto_test.cpp)
rondo_test(exchange_test LINKS exchange optim nn comm device core RANKS 1 2 3)
rondo_test(codec_test LINKS exchange optim nn comm device core)
