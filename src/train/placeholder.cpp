namespace rondo {}
