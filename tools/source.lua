--- Where the sources are published: set here at release, and nowhere else.
return {
  -- The address from which LuaRocks clones, such as git+https://HOST/heymarket.git. nil: it is not published yet.
  url = nil,
  -- The tag of a version.
  tag = "v%s",
  -- Stands in the rockspecs until then. No host can have a name that ends with .invalid (RFC 2606).
  PLACEHOLDER = "git+https://address-is-set-at-release.invalid/heymarket.git",
}
