# Stand-in until the page is packaged.
{ runCommand }: runCommand "nixel-page" { } "mkdir $out"
