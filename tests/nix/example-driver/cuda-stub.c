/* Stands for the graphics driver when linking; not shipped. */
int cuInit(unsigned flags) { return (int)flags; }
