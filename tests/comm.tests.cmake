rondo_test(comm_test LINKS comm device core RANKS 1 2 3 4)
