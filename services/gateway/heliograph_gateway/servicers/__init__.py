"""HTTP faces: routes that parse, call and answer."""
