# The example driver's program that reads its settings from /usr/local and from nowhere else.
{
  fhs,
  luxmeter,
}:

fhs {
  pname = "stubborn";
  version = "1.2.0";
  program = "${luxmeter}/bin/stubborn";
  places."/usr/local/share/luxmeter" = "${luxmeter}/share/luxmeter";
  meta.description = "Shows the settings of an imaginary light meter";
}
