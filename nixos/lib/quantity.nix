# The type of a quantity as instrument files write it: a number and its unit.
lib:
lib.types.strMatching "[-+]?[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)? [^ ].*"
// {
  description = "quantity with its unit, such as \"12 mT\"";
}
